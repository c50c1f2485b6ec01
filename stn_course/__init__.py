"""How spatial transformers work: the tested helpers that the notebooks import.

Importing the package loads nothing heavy; import the module you need::

    from stn_course import geometry, sampler
"""
