"""The commands of `heliograph`, one module each.

Such a module imports at its top only what is quick to import, for all of them are loaded to answer
`heliograph --help`; the rest comes inside the function.
"""
