mod fuzz;
mod hostile;
mod link;
mod registers;
mod replay;
mod reset;
mod restart;
mod signs;
