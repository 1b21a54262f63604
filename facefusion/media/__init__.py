"""Reading and writing videos and pictures without harming what is not to be changed."""
