"""The documents of the OCI image specification. No I/O."""
