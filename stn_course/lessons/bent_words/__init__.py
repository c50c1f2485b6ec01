"""What notebook 08 needs: words on bent labels, a spline to drag, and the choices as tables."""
