"""One module a payload format; see payloads.Decoder for what a module defines."""
