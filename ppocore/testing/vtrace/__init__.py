"""Check a function that computes V-trace, in any array framework.

``check`` is the entry; ``subject`` says what such a function takes and draws its arguments, ``oracle`` computes what is
right by definition, ``properties`` lists what must hold, and ``mistakes`` the known mistakes.
"""
