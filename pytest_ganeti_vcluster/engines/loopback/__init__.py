"""The engine that runs everywhere: loopback addresses, nss_wrapper for names and users, one sshd."""
