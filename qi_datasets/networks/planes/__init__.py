"""Traced networks, followed node by node with maps on an endless plane.

`tracing` makes graphs of networks, `geometry` is arithmetic on what positions see, `plane` a map. `follower` goes
through the nodes, `maps` knows what can be done with maps, `functions`, `dimensions` and `layers` which node does what.
"""
