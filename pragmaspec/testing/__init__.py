"""Tests for providers of any package: see docs/providers.md. Requires pytest."""
