"""What runs inside the sandbox. The files are copied there (`coursekit.grading.stripped`); nothing outside imports them."""
