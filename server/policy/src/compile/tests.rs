mod dice;
mod differential;
mod generator;
mod oracle;
mod traps;
