// The words of the console, in English and in Chinese. A word that Chinese lacks is a fault (tests/test_console.py).

import { MORE } from "./words_evidence.js";

/** A line for each word: its name, English, Chinese. */
const OWN = `
skip|Skip to content|跳到正文
pages|Pages|页面
home|Overview|总览
map|Map|地图
facilities|Facilities|授信额度
facility|Facility|授信额度
lots|Lots|货物批次
lot|Lot|批次
assets|Assets|资产
asset|Asset|资产
receipts|Receipts|仓单
receipt|Receipt|仓单
alerts|Alerts|警报
alert|Alert|警报
devices|Devices|设备
device|Device|设备
milestones|Milestones|里程碑
milestone|Milestone|里程碑
language|中文|English
request|Request|请求
does|What it does|作用
parameters|Parameters|参数
optional|(optional)|（可选）
version|Version|版本
demo|The demo|演示
demo_begins|The demo begins|演示开始
demo_why|What happens is told here, with its reasons, once the journal has it.|事件写入日志后，将在此说明发生了什么及其原因。
demo_before|What happened before|此前发生的事
demo_pokes|Break something yourself:|亲手制造故障：
dark|Dark|深色
light|Light|浅色
print|Print|打印
key|Key of the API|API 密钥
key_why|This service asks who you are. The key is kept until this tab is closed.|此服务需要确认您的身份。密钥仅保留到此标签页关闭。
key_go|Go on|继续
key_bad|This key is not known.|密钥无效。
leave|Forget the key|清除密钥
login|Log in|登录
login_why|Your organisation's login page asks who you are.|将由贵机构的登录页面确认您的身份。
login_again|Log in again|重新登录
log_out|Log out|退出登录
login_stranger|You are logged in, but this service does not know you. Ask whoever keeps its book.|您已登录，但本服务中没有您的用户。请联系台账管理员。
login_state|This login was not begun here, or is over already. Try again.|此次登录并非由此浏览器发起，或已结束。请重试。
login_provider|The login page did not let you in.|登录页面未予通过。
login_away|The login page cannot be reached now. Try again later.|暂时无法连接登录页面，请稍后再试。
nobody|keeper of this machine|本机管理员
connecting|connecting…|正在连接…
loading|loading…|正在载入…
live|live|实时
polled|asked every 5 s|每 5 秒查询
away|the service does not answer|服务无响应
fault|this page has a fault|此页面有错误
locked|Nothing is shown until you say who you are.|确认您的身份之前不显示任何内容。
as_of_now|changed at|更新于
none|nothing yet|暂无
unknown|There is nothing of that name, or it is not yours to see.|没有此名称的内容，或您无权查看。
not_yours|Amounts are not shown to this role.|此角色不可查看金额。
lender|Lender|贷款人
borrower|Borrower|借款人
gross|Gross|总值
eligible|Eligible|合格
not_advanced|Not advanced|未授信部分
reserve|Reserve|准备金
base|Base|借款基数
outstanding|Outstanding|未偿余额
headroom|Headroom|可用余额
call|Margin call|追加保证金
no_call|no call|无
cure|Cure by|补救期限
ltv|LTV|贷款价值比
cover|Cover|覆盖
open_alerts|Open alerts|未结警报
limit|Limit|限额
waterfall|How the base comes about|借款基数的形成
clocks|Two clocks|两个时钟
as_of|As of|截至时刻
known_at|By what was known at|依据当时所知
now|Now|现在
value|Value|价值
taken|Taken off|扣减
lent|Lent on|可贷
grounds|Grounds|依据
amount|Amount|金额
state|State|状态
measured|Measured|测量时间
place|Place|位置
inside|Inside|围栏内
condition|Condition|状况
signal|Signal|信号
no_fix|no fix yet|尚无定位
kept|kept|保持
breached|breached|已超限
was_breached|was breached|曾超限
not_known|unknown|未知
silent|silent since|失联自
overdue|overdue since|逾期自
expected_dark|dark as planned until|计划静默至
zoom_in|Zoom in|放大
zoom_out|Zoom out|缩小
find|Find|查找
keeper|keeper|管理员
insurer|insurer|保险人
auditor|auditor|审计人
shown|%1 of %2 shown|共 %2 项，已显示 %1 项
temperature|Temperature|温度
temperature_table|Temperatures as a table|温度数据表
breaches|beyond a limit|超限
gap|no readings|无读数
doubtful|doubtful reading|存疑读数
trail|trail|轨迹
planned_dark|dark as planned|计划静默
unplanned|no fix in between|其间无定位
fence|fence|围栏
many|several assets|多个资产
trouble|breached or silent|超限或失联
rule|Rule|规则
severity|Severity|严重程度
since|Since|自
who|Taken on by|受理人
acknowledge|Acknowledge|受理
in_hands|for {hands}|由{hands}受理
acknowledged|Taken on.|已受理。
with_cleared|with cleared ones|含已解除
with_silenced|with silenced ones|含已静默
silenced_until|silenced until|静默至
silence|Silence|静默
lift|Lift the silence|解除静默
comment|Comment|评论
comments|Comments|评论
text|Comment, or reason of a silence|评论或静默原因
say_why|Write a comment, or why it is silenced.|请填写评论或静默原因。
for_how_long|For|时长
hours|h|小时
days|days|天
ltv_over_time|LTV over time|贷款价值比走势
ltv_table|LTV as a table|贷款价值比数据表
no_ratio|no ratio|无比率
warning_level|warning level|预警线
call_level|margin call level|追加保证金线
default_level|default level|违约线
called|margin called|已追加保证金
rests_on|Rests on|依据
by_whom|Your name|您的姓名
epoch|Epoch|纪元
missing|Missing|缺失
no_gap|no gap|无缺失
operator|Operator|运营方
yes|yes|是
no|no|否
waiting|waiting to be sent|条待发送
suspicions|Suspicions|可疑
payee|Payee|收款人
met|Met|已达成
fact|Fact|事实
holds|holds|成立
may_hold|may hold|可能成立
lacks|does not hold|不成立
proofs|Proofs, or what is missing|证明或缺失
if_lost|If it fell away|若失去
warehouse|Warehouse|仓库
holder|Holder|持有人
pledgee|Pledgee|质权人
controller|Controller|控制人
goods|Goods|货物
until|Until|有效期至
issued|Issued|签发
quantity|Quantity|数量
let_out|Released for delivery|已放行
delivered|Delivered|已交付
unit|Unit|单位
sku|Kind of goods|品名
acts|What became of it|历程
entry|entry|条目
act_text|the act as it was signed|已签名文件原文
evidence|Trail of evidence|证据链
when|When|时间
event|Event|事件
facts|Facts|事实
fit|Show all|显示全部
more|more|更多
page|Page|页码
page_before|Page before|上一页
page_after|Next page|下一页
step|Step|步骤
waterfall_table|The steps as a table|步骤数据表
moment|exact moment, UTC|精确时刻（UTC）
turn|Pages of the list|列表分页
`;

/** What a table says, by the name that begins each of its lines. @param {string} table @returns {Record<string, string>} */
export const rows = table => Object.fromEntries(table.trim().split("\n").map(line => line.split(/\|(.*)/)));

/** @type {Record<string, string[]>} by name: English, Chinese */
export const WORDS = Object.fromEntries(Object.entries(rows(OWN + MORE.slice(1))).map(([name, both]) => [name, both.split("|")]));

/** @type {"en" | "zh"} */
let language = (localStorage.getItem("lang") ?? navigator.language).startsWith("zh") ? "zh" : "en";

/** The language in use. */
export const lang = () => language;

/** Change the language, and keep the choice. @param {"en" | "zh"} to */
export function speak(to) {
  language = to;
  localStorage.setItem("lang", to);
  document.documentElement.lang = to === "zh" ? "zh-Hans" : "en";
}

/** A word in the language in use. @param {string} name */
export const t = name => WORDS[name]?.[language === "zh" ? 1 : 0] ?? name.replaceAll("_", " ");

/** A sentence with its numbers in their places, %1 and %2. @param {string} name @param {...number} numbers */
export const tell = (name, ...numbers) => t(name).replace(/%(\d)/g, (_, place) => String(numbers[place - 1]));
