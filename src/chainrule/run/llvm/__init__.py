"""The compiler: a program becomes loop nests, LLVM IR, and machine code."""
