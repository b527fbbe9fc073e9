"""Reference answers and hidden cases, one module a chapter, each with its `key`."""
