"""Images: a content store that is an OCI image layout, names in it, layers unpacked from it."""
