"""Network access: URLs, HTTP, S3, TLS trust and retries."""
