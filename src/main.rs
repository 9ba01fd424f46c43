fn main() -> std::process::ExitCode {
    dgc::cli::main()
}
