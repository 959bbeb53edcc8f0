"""The network: URLs as values, requests, and the certificates that are trusted."""
