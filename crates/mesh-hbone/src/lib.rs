//! HBONE: mutual TLS and HTTP/2 CONNECT tunnels, both ends.
