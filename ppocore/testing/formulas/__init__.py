"""Check a function that computes a formula of arrays, in any array framework.

``subject`` says what a kind of formula is: its arguments, its definition, its properties and its known mistakes;
``interface`` lays arguments out as a function takes them, ``candidate`` calls it, ``check`` runs the properties,
``smallest`` looks for a small counterexample, ``diagnosis`` for what explains a failure, and ``report`` shows both.
"""
