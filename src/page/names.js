// OpenIM's names in words, as [English, Simplified Chinese].
import { pick, t } from './texts.js';

const TYPES = {
  text: ['Text', '文本'],
  picture: ['Picture', '图片'],
  voice: ['Voice', '语音'],
  video: ['Video', '视频'],
  file: ['File', '文件'],
  at_text: ['Text with @', '@ 消息'],
  merger: ['Forwarded', '合并转发'],
  card: ['Card', '名片'],
  location: ['Location', '位置'],
  custom: ['Custom', '自定义'],
  revoke: ['Revocation', '撤回'],
  typing: ['Typing', '正在输入'],
  quote: ['Quote', '引用'],
  face: ['Sticker', '表情'],
  advanced_text: ['Rich text', '富文本'],
  markdown_text: ['Markdown', 'Markdown'],
  custom_not_trigger_conversation: ['Custom, without conversation', '自定义（不产生会话）'],
  custom_online_only: ['Custom, online only', '自定义（仅在线）'],
  reaction_message_modifier: ['Reaction', '回应'],
  reaction_message_deleter: ['Reaction removed', '取消回应'],
  common: ['Common', '普通消息'],
  group_msg: ['Group message', '群消息'],
  signal_msg: ['Signalling', '信令'],
  custom_notification: ['Custom notification', '自定义通知'],
  oa_notification: ['OA notification', 'OA 通知'],
  group_created: ['Group created', '群创建'],
  group_info_set: ['Group info changed', '群资料变更'],
  join_group_application: ['Join request', '入群申请'],
  group_application_accepted: ['Join request accepted', '入群申请已通过'],
  group_application_rejected: ['Join request rejected', '入群申请已拒绝'],
  group_owner_transferred: ['Group owner changed', '群主转让'],
  member_quit: ['Member left', '成员退群'],
  member_kicked: ['Member removed', '成员被移除'],
  member_invited: ['Member invited', '成员被邀请'],
  member_enter: ['Member joined', '成员入群'],
  group_dismissed: ['Group dismissed', '群解散'],
  group_member_muted: ['Member muted', '成员禁言'],
  group_member_cancel_muted: ['Member unmuted', '成员解除禁言'],
  group_muted: ['Group muted', '群禁言'],
  group_cancel_muted: ['Group unmuted', '群解除禁言'],
  group_member_info_set: ['Member info changed', '成员资料变更'],
  group_member_set_to_admin: ['Member became admin', '成员设为管理员'],
  group_member_set_to_ordinary_user: ['Admin became member', '管理员设为普通成员'],
  group_info_set_announcement: ['Group announcement changed', '群公告变更'],
  group_info_set_name: ['Group renamed', '群名变更'],
  business_notification: ['Business notification', '业务通知'],
  msg_revoke_notification: ['Revocation notice', '撤回通知'],
  delete_msgs_notification: ['Deletion notice', '删除通知'],
  has_read_receipt: ['Read receipt', '已读回执'],
};

const PLATFORMS = {
  ios: ['iOS', 'iOS'],
  android: ['Android', 'Android'],
  windows: ['Windows', 'Windows'],
  osx: ['macOS', 'macOS'],
  web: ['Web', '网页'],
  miniweb: ['Mini program', '小程序'],
  linux: ['Linux', 'Linux'],
  apad: ['Android tablet', '安卓平板'],
  ipad: ['iPad', 'iPad'],
  admin: ['Administrator', '管理员'],
  harmonyos: ['HarmonyOS', '鸿蒙'],
  unknown: ['Unknown', '未知'],
};

// By name without callback, After and Command, because these differ between OpenIM's versions.
const COMMANDS = {
  SendGroupMsg: ['Group messages', '群聊消息'],
  SendSingleMsg: ['Single messages', '单聊消息'],
  MsgSaveDB: ['Stored messages', '已存储的消息'],
  BeforeSendGroupMsg: ['Send attempts, groups', '群聊发送请求'],
  BeforeSendSingleMsg: ['Send attempts, single', '单聊发送请求'],
  UserOnline: ['Users came online', '用户上线'],
  UserOffline: ['Users went offline', '用户下线'],
  UserRegister: ['Users registered', '用户注册'],
  CreateGroup: ['Groups created', '建群'],
  DisMissGroup: ['Groups dismissed', '解散群'],
  QuitGroup: ['Members left', '成员退群'],
  KickGroup: ['Members removed', '成员被移除'],
  KillGroup: ['Members removed', '成员被移除'],
  BeforeMemberJoinGroup: ['Members joined', '成员入群'],
  BeforeMembersJoinGroup: ['Members joined', '成员入群'],
  BeforeInviteJoinGroup: ['Members invited', '成员被邀请'],
  BeforeJoinGroup: ['Join requests', '入群申请'],
  AddFriend: ['Friend requests', '好友申请'],
  AddFriendAgree: ['Friend requests accepted', '好友申请通过'],
  DeleteFriend: ['Friends deleted', '删除好友'],
  ImportFriends: ['Friends imported', '导入好友'],
  BeforeAddBlack: ['Blocks', '拉黑'],
  RemoveBlack: ['Unblocks', '取消拉黑'],
  GroupMsgRead: ['Group messages read', '群聊已读'],
  SingleMsgRead: ['Single messages read', '单聊已读'],
  BeforeAfterMsg: ['Revocations', '撤回'],
  OfflinePush: ['Offline pushes', '离线推送'],
  BeforeOfflinePush: ['Offline pushes', '离线推送'],
};

// Reasons for refusals, and what to do: docs/errors.md in short.
const REASONS = {
  empty_body: ['The request has no body. Check for a proxy that drops it.', '请求没有正文。请检查是否有代理丢弃了它。'],
  malformed_json: ['The body is not valid JSON. Check what sends it.', '正文不是有效的 JSON。请检查发送方。'],
  wrong_type: ['A field does not have its documented type. Check what sends it.', '字段类型与文档不符。请检查发送方。'],
  out_of_range: ['A number or string is not valid. Check what sends it.', '数字或字符串无效。请检查发送方。'],
  value_too_long: ['An ID, name or URL is too long. Check what sends it.', 'ID、名称或 URL 过长。请检查发送方。'],
  too_deep: ['The JSON is nested too deeply. Check what sends it.', 'JSON 嵌套过深。请检查发送方。'],
  missing_sender: ['`sendID` is absent or empty. Check what sends it.', '`sendID` 缺失或为空。请检查发送方。'],
  missing_group: [
    '`groupID` and `recvID` are both absent or empty. Check what sends it.',
    '`groupID` 和 `recvID` 均缺失或为空。请检查发送方。',
  ],
  unknown_command: [
    'Neither the URL nor the body names a callback. Correct the `url` in `webhooks.yml`.',
    'URL 和正文都没有回调名。请更正 `webhooks.yml` 中的 `url`。',
  ],
  malformed_request: [
    'Not valid HTTP: often TLS on a plain port, or the reverse. Correct `http` or `https` in OpenIM’s `url`.',
    '不是有效的 HTTP：常见原因是 http 与 https 混用。请更正 OpenIM 的 `url`。',
  ],
  broken_body: [
    'The body ended early. Check the network and the timeouts of proxies.',
    '正文提前结束。请检查网络和代理超时。',
  ],
  unauthorized: [
    'The secret, or the user and password, are missing or wrong. Put the credentials for callbacks into OpenIM’s `url`.',
    '密钥或用户名密码缺失或错误。请将回调凭据写入 OpenIM 的 `url`。',
  ],
  forbidden: [
    'A web page, or a client outside `--callback.allowed-networks`, sent this. If it was OpenIM, add its network there.',
    '请求来自网页，或来自 `--callback.allowed-networks` 之外的客户端。若为 OpenIM，请将其网络加入该参数。',
  ],
  not_found: ['There is no page at this path. Correct the address.', '该路径没有页面。请更正地址。'],
  method_not_allowed: ['Wrong method: callbacks use POST, pages use GET.', '方法错误：回调用 POST，页面用 GET。'],
  bad_query: ['A parameter is not valid. The detail says which.', '参数无效，详情中有说明。'],
  header_timeout: [
    'The request’s head took longer than 5 seconds. Check the network.',
    '接收请求头超过 5 秒。请检查网络。',
  ],
  body_timeout: ['The body took longer than 5 seconds. Check the network.', '接收正文超过 5 秒。请检查网络。'],
  body_too_large: [
    'The body is too large. Raise `--callback.max-body-bytes`.',
    '正文过大。请提高 `--callback.max-body-bytes`。',
  ],
  unsupported_media_type: [
    'The `Content-Type` is not `application/json`, or the body is compressed.',
    '`Content-Type` 不是 `application/json`，或正文被压缩。',
  ],
  header_too_large: ['The request’s head is too large. Check the proxy.', '请求头过大。请检查代理。'],
  too_many_scrapes: [
    'Too many scrapes and API requests at once. Scrape less often, or raise `--web.max-requests`.',
    '同时的抓取和 API 请求过多。请降低频率，或提高 `--web.max-requests`。',
  ],
  too_many_viewers: [
    'Too many live pages are open, so further ones poll. Close some, or raise `--web.max-viewers`.',
    '打开的实时页面已达上限，其余页面改为轮询。请关闭一些，或提高 `--web.max-viewers`。',
  ],
  rate_limited: [
    'Too many requests for pages. Raise `rate_limit` in `--web.config.file`.',
    '页面请求过多。请提高 `--web.config.file` 中的 `rate_limit`。',
  ],
  too_many_connections: [
    'Too many connections. Find out which clients open them, or raise `--web.max-connections`.',
    '连接过多。请找出打开连接的客户端，或提高 `--web.max-connections`。',
  ],
  too_many_connections_per_address: [
    'Too many connections from one address. If it is a proxy, set `--web.trusted-proxies`.',
    '同一地址的连接过多。若为代理，请设置 `--web.trusted-proxies`。',
  ],
  forward_loop: [
    'A forwarding target leads back to this exporter. Correct `--forward.url` or the targets’ URLs.',
    '转发目标指回了本导出器。请更正 `--forward.url` 或各目标的 URL。',
  ],
  overloaded: [
    'A limit on memory or work was reached. See `overloaded` in docs/errors.md.',
    '已达到内存或并发上限。请参阅 docs/errors.md 中的 `overloaded`。',
  ],
  bad_settings: ['The settings files cannot be used. The detail says why.', '配置文件无法使用，详情中有说明。'],
  internal: ['A bug in the exporter. Please report it, with the log.', '导出器存在缺陷。请附上日志反馈。'],
};

const own = (table, name) => (Object.hasOwn(table, name) ? pick(table[name]) : null);

export function typeName(name) {
  if (/^-?\d+$/.test(name)) return t('type_code', { code: name });
  return own(TYPES, name) ?? (name === 'other' ? t('other') : name.replaceAll('_', ' '));
}

export const platformName = (name) => own(PLATFORMS, name) ?? name;
export const reasonText = (name) => own(REASONS, name) ?? name;

export function commandName(name) {
  return (
    own(
      COMMANDS,
      name
        .replace(/^[cC]allback(After)?/, '')
        .replace(/Command$/, '')
        .replace(/After$/, ''),
    ) ?? ''
  );
}
