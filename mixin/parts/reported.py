"""The callbacks that OpenIM reports only if they are enabled."""

# What is counted: the family, the setting in webhooks.yml that reports it, and its commands in all versions of OpenIM.
SINGLE = ("openim_single_messages_total", "afterSendSingleMsg", "callbackAfterSendSingleMsgCommand|callbackAfterMsgSaveDBCommand")
ONLINE = ("openim_users_online", "afterUserOnline", "callbackAfterUserOnlineCommand|callbackUserOnlineCommand")


def if_reported(expression, counted):
    """The expression, if a callback that reports it has been received. Also while the exporter is down."""
    return f'{expression} and on () (sum(last_over_time(openim_exporter_callbacks_total{{$S, command=~"{counted[2]}"}}[1d])) > 0)'


def online(by=""):
    """Users online, from the union of several exporters, or else the largest number of one. `by` is `platform` or empty."""
    labels = f"job, {by}" if by else "job"
    united = f"sum by ({labels}) (max by (job, platform) (openim_users_online_united{{$S}}))"
    largest = f"max by ({labels}) (sum by ({labels}, instance) (openim_users_online{{$S}}))"
    total = f"sum by ({by}) ({united} or {largest}) > 0" if by else f"sum({united} or {largest})"
    return if_reported(total, ONLINE)


def how(*counted):
    """What to do if a panel is empty."""
    settings = [setting for _, setting, _ in counted]
    if len(settings) == 1:
        return f"Nothing reported yet: enable {settings[0]} in OpenIM's webhooks.yml, unless it is already"
    return f"Nothing reported yet. Each line needs its setting in OpenIM's webhooks.yml: {', '.join(settings)}"
