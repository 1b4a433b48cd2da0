"""Exchanges with a RAPI, recorded to files and replayed from them over real HTTPS. Knows neither pytest nor clusters.

Clients of any language and library are served, since they talk to a server on the loopback interface; what works
inside a Python process (vcrpy, responses, ...) would not see pycurl, which Ganeti's own client uses, nor subprocesses.
"""
