fn main(){ std::fs::write(std::env::args().nth(1).unwrap(), hitgate_import::random::file(0.25,224,1,1).unwrap()).unwrap(); }
