"""What every service process shares: from settings to exit codes.

Import the modules, not this package: `libs.runtime.failures` and `libs.runtime.clock` need nothing
but the standard library, the others bring their dependencies with them.
"""
