//! Transports between networks of one process: real sockets, small actors.
