"""Billing: agreements, and invoices whose lines name their readings and their price."""
