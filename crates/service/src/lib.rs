//! A server is a function: services, filters and futures, composed.
