"""Bring environments back to a recorded state by replaying their episodes."""
