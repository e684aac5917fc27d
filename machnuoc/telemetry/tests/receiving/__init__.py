"""A real broker, real receiving processes that can be killed, and a publisher that knows what was acknowledged."""
