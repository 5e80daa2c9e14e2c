//! QEMU: its command line, its process, the channel to the agent.
