"""Checks of advantage functions: anyone's, in any framework.

``check`` is the entry; ``trajectories`` draws what they are given, ``oracle`` says what is right, ``properties`` what
must hold, ``defects`` what goes wrong in practice, ``diagnosis`` which of these it is, ``adapters`` other signatures.
"""
