"""What a user types and imports: the `heliograph` command and the embedded stack."""
