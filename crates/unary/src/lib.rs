//! A server is a function, Request -> Future<Reply>: the facade.
