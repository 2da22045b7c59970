"""Why a gradient is what it is: its size as a budget, its cause if it is sick, and the line.

``why`` explains one gradient, ``diagnose`` looks at all of a model. ``gains`` splits the gain of
one edge into parts, ``budget`` adds them up over the paths; ``size`` reads a cause out of it, and
``zero`` follows a gradient of zero to where it died.
"""
