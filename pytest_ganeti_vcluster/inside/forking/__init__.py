"""The fork server: Ganeti's Python programs, forked from one process that has Ganeti loaded.

Who is who, for one program:

    client    what somebody started: a stub of the farm, or the Python that luxid starts a job with (`client`)
    server    one process for a cluster, with Ganeti loaded for a node that does not exist (`server`, `preloading`)
    guard     forked by the server for one client: checks, starts and watches the program (`guard`)
    program   forked by the guard: made into what the client would have become (`imitation`, `relocation`)

The client hands over what a program inherits (arguments, environment, descriptors, ...), passes on every signal that
it is sent, and ends as the program ended. Whenever it cannot be served it runs the program itself, as it would
without a fork server. When it is killed, so is the program; when the guard is killed, so are both. One client may ask
for many programs (`many`).
"""
