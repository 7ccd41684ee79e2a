//! Every example, started as its reader would, talked to and stopped.

mod command_line;
mod descriptors;
mod examples;
mod guests;
mod program;
mod proxy;
mod websocket;
