"""A user's script: run abstractly in a process of its own, its models found and read.

``request`` is what passes between the processes, ``process`` and ``child`` are the two of them.
``session`` is one run: ``source`` and ``statements`` make the script one whose failing statements
are skipped, ``guard`` and ``execute`` run it, and everything else is stood in for. ``models`` and
``named`` are what comes out.
"""
