//! What a site needs: a router, filters and handlers.
