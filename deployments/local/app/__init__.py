"""The application of the embedded platform: HASIVU's HTTP and WebSocket API on a real pool and a real cache.

`service.command` says how to start it, `main.create` builds it, docs/local-app.md lists its routes and messages.
"""
