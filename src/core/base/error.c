#include <turbotunnel/error.h>

const char *tt_strerror(int err)
{
    switch (err) {
    case TT_OK:
        return "done";
#define X(name, number, text)                                                                      \
    case name:                                                                                     \
        return text;
        TT_ERROR_MAP(X)
#undef X
    default:
        return "not an error number of this library";
    }
}

const char *tt_error_name(int err)
{
    switch (err) {
    case TT_OK:
        return "TT_OK";
#define X(name, number, text)                                                                      \
    case name:                                                                                     \
        return #name;
        TT_ERROR_MAP(X)
#undef X
    default:
        return "TT_E_?";
    }
}
