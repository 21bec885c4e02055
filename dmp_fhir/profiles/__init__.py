"""The home of every profile rule: R4 definitions, primitive formats, structure, terminology, French profiles."""
