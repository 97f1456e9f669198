#include <turbotunnel/turbotunnel.h>

const char *tt_version(void)
{
    return TT_VERSION;
}

const char *tt_report_name(enum tt_report_kind kind)
{
    switch (kind) {
#define X(name, text)                                                                              \
    case name:                                                                                     \
        return text;
        TT_REPORT_MAP(X)
#undef X
    }
    return "";
}
