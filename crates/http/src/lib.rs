//! HTTP messages, bodies and the HTTP/1.1 engine.
