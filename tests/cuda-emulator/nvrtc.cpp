// A stand-in for libnvrtc.so: the host's compiler makes a shared library of the source, which the stand-in for the driver loads.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

struct Program {
    std::string source, name, log, code;
};

enum { SUCCESS = 0, COMPILATION = 6 };

static std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

// How many parameters each function has, which the driver asks the module: a cubin would say.
static std::string parameter_counts(const std::string& source) {
    static const std::string head = "extern \"C\" __global__ void __launch_bounds__(";
    std::string counts;
    for (size_t at = source.find(head); at != std::string::npos; at = source.find(head, at)) {
        at = source.find(')', at) + 1;
        size_t name = source.find_first_not_of(" \n", at), open = source.find('(', name), close = source.find(')', open);
        int count = close == open + 1 ? 0 : 1;
        for (size_t i = open; i < close; ++i) count += source[i] == ',';
        counts += "extern \"C\" { extern const int parameters_of_" + source.substr(name, open - name) + " = " + std::to_string(count) + "; }\n";
    }
    return counts;
}

extern "C" {

const char* nvrtcGetErrorString(int code) { return code == SUCCESS ? "NVRTC_SUCCESS" : "NVRTC_ERROR_COMPILATION"; }

// None of NVIDIA's, so that what it makes is never taken for theirs; and another where accesses are counted.
int nvrtcVersion(int* major, int* minor) {
    *major = 0;
    *minor = getenv("DGC_EMULATOR_COUNT") ? 2 : 1;
    return SUCCESS;
}

int nvrtcCreateProgram(Program** program, const char* source, const char* name, int, const char* const*, const char* const*) {
    *program = new Program{source, name ? name : "program.cu", "", ""};
    return SUCCESS;
}

int nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return SUCCESS;
}

int nvrtcCompileProgram(Program* program, int, const char* const*) {
    char folder[] = "/tmp/dgc-emulator-XXXXXX";
    if (!mkdtemp(folder)) return COMPILATION;
    std::string base = std::string(folder) + "/program";
    std::ofstream(base + ".cpp") << program->source << parameter_counts(program->source);
    // A call for each check makes less code than the check itself, and most of the time goes into making code.
    std::string options = " -std=c++17 -O0 -fPIC -shared -w --param asan-instrumentation-with-call-threshold=0 -include " HEADER " ";
    if (getenv("DGC_EMULATOR_COUNT")) options += "-DCOUNT_ACCESSES -Wl,-Bsymbolic ";
    std::string command = COMPILER + options + base + ".cpp -o " + base + ".so > " + base + ".log 2>&1";
    int status = system(command.c_str());
    program->log = read_file(base + ".log");
    program->code = read_file(base + ".so");
    for (const char* end : {".cpp", ".so", ".log"}) unlink((base + end).c_str());
    rmdir(folder);
    return status == 0 && !program->code.empty() ? SUCCESS : COMPILATION;
}

int nvrtcGetProgramLogSize(Program* program, size_t* size) {
    *size = program->log.size() + 1;
    return SUCCESS;
}
int nvrtcGetProgramLog(Program* program, char* log) {
    memcpy(log, program->log.c_str(), program->log.size() + 1);
    return SUCCESS;
}
int nvrtcGetCUBINSize(Program* program, size_t* size) {
    *size = program->code.size();
    return SUCCESS;
}
int nvrtcGetCUBIN(Program* program, char* code) {
    memcpy(code, program->code.data(), program->code.size());
    return SUCCESS;
}
int nvrtcGetPTXSize(Program* program, size_t* size) { return nvrtcGetCUBINSize(program, size); }
int nvrtcGetPTX(Program* program, char* code) { return nvrtcGetCUBIN(program, code); }
}
