"""Images beside registries: OCI layouts, archives and directories, behind the protocols of
`images.transport`.
"""
