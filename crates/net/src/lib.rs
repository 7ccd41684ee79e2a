//! The machine: event loops, listeners, the pipeline, peers and files that never block a loop.
