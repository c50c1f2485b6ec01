"""`make torture`: what the course is to survive, tried many times.

Nothing here is part of `make test`. Each part says how often it tried and what fell; all of it is
drawn from one seed.
"""
