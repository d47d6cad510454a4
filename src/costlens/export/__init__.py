"""Graphs for other programs: networkx, and the files that yEd, Gephi, Graphviz and Mermaid open."""
