"""The anchor: commits the heads of all logs to Stellar, and keeps the evidence."""
