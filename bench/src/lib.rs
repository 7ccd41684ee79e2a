//! Side by side with rivals.
