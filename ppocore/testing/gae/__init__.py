"""Check an advantage function, in any array framework.

``check`` is the entry; ``trajectories`` draws arguments, ``oracle`` computes the expected advantages by definition,
``properties`` lists what must hold, ``defects`` the known mistakes, ``diagnosis`` finds which of them a candidate
makes, and ``adapters`` converts other signatures.
"""
