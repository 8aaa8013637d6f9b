"""Own sockets with kernel receive stamps, and HTTP/1.1 upon them."""
